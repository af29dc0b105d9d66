"""The application."""

from fastapi import FastAPI
from starlette.middleware import Middleware

from . import chat, members
from .transports import Transports

app = FastAPI(middleware=[Middleware(Transports)])
app.include_router(chat.router)
app.include_router(members.router)
