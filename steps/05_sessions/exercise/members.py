"""Step 05, exercise: members over HTTP: list them, remove one, count the sessions."""

from fastapi import APIRouter

# TODO 5: GET /rooms/{room_id}/members returns {"names": [...]}, or 404 for a room without members.
# TODO 6: DELETE /rooms/{room_id}/members/{name} closes all tabs of that name in that room with 1008 and the reason
#         "removed", and returns 204. By then the name is off the list, and the others have got one "left". Return 404
#         for a room or a member that doesn't exist. The name may rejoin immediately.
# TODO 7: GET /debug/sessions returns {"sessions": open tabs, "rooms": rooms with a member}. Both return to 0.

router = APIRouter()
