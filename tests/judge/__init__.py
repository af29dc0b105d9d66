"""The judge: it runs an answer under uvicorn, connects to it as a client, and explains what's wrong."""
