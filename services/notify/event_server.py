"""POST / with an event, for producers that speak Flux's HTTP instead of NATS.

202 says that the event is safe; 429 that it was said within the last minutes; 503 that it could not
be kept, so that the producer tries again.
"""

from aiohttp import web

from services.notify.event import MalformedEvent
from services.notify.http_limits import body_of, limited
from services.notify.intake import Intake, SaidAlready
from shared.bus import TooLarge
from shared.line import BusError
from shared.metrics import EVENT_REQUESTS


def event_app(intake: Intake) -> web.Application:
    async def answer(request: web.Request) -> web.Response:
        if request.path != "/":
            raise web.HTTPNotFound
        if request.method != "POST":
            raise web.HTTPMethodNotAllowed(request.method, ["POST"])
        body = await body_of(request)
        try:
            await intake.accept(body)
        except MalformedEvent as error:
            raise web.HTTPBadRequest(text=f"{error}\n") from error
        except SaidAlready:
            raise web.HTTPTooManyRequests(text="the same was said already\n") from None
        except TooLarge as error:
            raise web.HTTPRequestEntityTooLarge(
                max_size=0, actual_size=0, text=str(error)
            ) from error
        except BusError as error:
            headers = {"Retry-After": "5"}
            raise web.HTTPServiceUnavailable(
                text="events cannot be kept now\n", headers=headers
            ) from error
        return web.Response(status=202)

    return limited(answer, EVENT_REQUESTS)
