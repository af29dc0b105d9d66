"""Step 01, exercise: a greeting that knows your name and your language.

In the folder of the course:

Run it:    uvicorn exercise:app --app-dir steps/01_hello_world --reload
Judge it:  pytest --exercise 1
"""

from fastapi import FastAPI

app = FastAPI()


# 1 is done: keep this route as it is.
@app.get("/")
async def root() -> dict[str, str]:
    return {"message": "Hello World"}


# TODO 2: GET /hello/{name} answers {"message": "Hello, Ada!"} for the name Ada.
# TODO 3: ?language=ko answers {"message": "안녕하세요, Ada!"}. en is the default.
#         Any other language, an empty one too, is refused with status 422.
# TODO 4: a name of more than 40 characters is refused with status 422.
# TODO 5: both parameters stand in /openapi.json. FastAPI writes it from your function's parameters.
