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


# TODO 2: GET /hello/{name} returns {"message": "Hello, Ada!"} for the name Ada.
# TODO 3: with ?language=ko, it returns {"message": "안녕하세요, Ada!"}. The default is en.
#         Reject any other language with status 422, including an empty one.
# TODO 4: reject a name of more than 40 characters with status 422.
# TODO 5: both parameters are in /openapi.json. FastAPI generates it from your function's parameters.
