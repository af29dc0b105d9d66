"""Step 13, exercise: the application.

In the folder of the course:

Run it:    uvicorn exercise.main:app --app-dir steps/13_live_data --reload
Judge it:  pytest --exercise 13

The package is the lesson. Your tasks are in live.py and mirror.py, and TODO 1 adds a lifespan to this file. The other
files are ready: source.py has sample(), alerts() and TOPICS, messages.py parses all requests, and tab.py, connection.py
and supervision.py are those of step 07.
"""

from fastapi import FastAPI

from . import live
from .connection import TransportMiddleware

app = FastAPI()
app.include_router(live.router)
# Add it last: the middleware that's added last is the outermost, and gets the server's own send.
app.add_middleware(TransportMiddleware)
