"""POST / with an event, for producers that speak Flux's HTTP instead of NATS.

202 says that the event is safe; 429 that it was said within the last minutes; 503 that it could not
be kept, so that the producer tries again.
"""

from aiohttp import web

from services.notify.event import MalformedEvent
from services.notify.http_limits import LIMITS, Door, Limits
from services.notify.intake import Intake, SaidAlready
from shared.bus import TooLarge
from shared.line import BusError
from shared.metrics import EVENT_REQUESTS


def event_door(intake: Intake, limits: Limits = LIMITS) -> Door:
    async def answer(_: web.Request, body: bytes) -> web.Response:
        try:
            await intake.accept(body)
        except MalformedEvent as error:
            return web.Response(status=400, text=f"{error}\n")
        except SaidAlready:
            return web.Response(status=429, text="the same was said already\n")
        except TooLarge:
            return web.Response(status=413, text="the event is too large to be kept\n")
        except BusError:
            headers = {"Retry-After": "5"}
            return web.Response(status=503, text="events cannot be kept now\n", headers=headers)
        return web.Response(status=202)

    return Door(_only_the_root, answer, EVENT_REQUESTS, limits)


def _only_the_root(request: web.Request) -> None:
    if request.path != "/":
        raise web.HTTPNotFound
