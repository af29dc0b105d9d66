"""The judge: it runs an answer under uvicorn, talks to it over the wire, and explains what is wrong."""
