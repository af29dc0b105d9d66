"""Step 05, exercise: what can be asked and done about members over HTTP."""

from fastapi import APIRouter

# TODO 5: GET /rooms/{room_id}/members answers {"names": [...]}, and 404 for a room that nobody is in.
# TODO 6: DELETE /rooms/{room_id}/members/{name} closes all tabs of that name in that room with 1008 and the reason
#         "removed", and answers 204. By then the name is off the list, and the others have heard one "left". 404 for
#         a room or a member that is not there. The name may come back at once.
# TODO 7: GET /debug/sessions answers {"sessions": open sockets, "rooms": rooms with a member}. Both come back to 0.

router = APIRouter()
