"""HatchPay inside a service of your own: `uvicorn examples.embedded:app`, keys by the `hatchpay` command."""

from fastapi import FastAPI, Request

from hatchpay import HatchPayMiddleware, Permission, Route

api = FastAPI()


@api.get("/v1/greetings/{name}")
async def greet(name: str, request: Request) -> dict[str, str]:
    return {"greeting": f"Hello {name}", "caller": request.scope["hatchpay"].principal.id}


app = HatchPayMiddleware(
    api,
    permissions=[Permission(name="greeter.greetings.read", description="Be greeted", read_only=True)],
    routes=[Route(method="GET", template="/v1/greetings/{name}", permission="greeter.greetings.read")],
)
