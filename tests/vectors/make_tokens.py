"""Write the corpus: `python -m tests.vectors.make_tokens`. The same keys give the same bytes, every time.

`jwks.json` is the public JWK Set of a fictitious issuer; `tokens.json` its tokens, good and bad, with the reason code
of every bad one; `rfc.json` the examples of the RFCs. The issuer allows RS256, PS256, ES256 and EdDSA.
"""

from __future__ import annotations

import json

from tests.vectors.accepted import accepted
from tests.vectors.forge import AUDIENCE, FOLDER, ISSUER, PRIVATE
from tests.vectors.refused_claims import refused_claims
from tests.vectors.refused_form import Refused, refused_form
from tests.vectors.refused_header import refused_header
from tests.vectors.refused_signature import refused_signature
from tests.vectors.rfc_examples import EXAMPLES

ALGORITHMS = {"rsa-1": "RS256", "ec-1": "ES256", "ed-1": "EdDSA"}
PUBLISHED = ("rsa-1", "rsa-pss", "ec-1", "ed-1", "rsa-1024", "rsa-e1", "ec-off-curve", "ed-weak")


def jwks() -> dict[str, object]:
    return {"keys": [_public(kid) for kid in PUBLISHED]}


def _public(kid: str) -> dict[str, str]:
    members = {name: value for name, value in PRIVATE[kid].items() if name != "d"}
    if kid in ALGORITHMS:
        members["alg"] = ALGORITHMS[kid]
    return {**members, "kid": kid, "use": "sig"}


def refused() -> list[Refused]:
    return [*refused_form(), *refused_header(), *refused_signature(), *refused_claims()]


def tokens() -> dict[str, object]:
    return {
        "issuer": ISSUER,
        "audience": AUDIENCE,
        "accepted": [{"name": name, "token": token} for name, token in accepted()],
        "refused": [{"name": name, "token": token, "reason": reason} for name, token, reason in refused()],
    }


def files() -> dict[str, str]:
    """The text of every file that this script writes, by its name."""
    contents: dict[str, object] = {"jwks.json": jwks(), "tokens.json": tokens(), "rfc.json": EXAMPLES}
    return {name: json.dumps(content, indent=1) + "\n" for name, content in contents.items()}


def main() -> None:
    for name, text in files().items():
        (FOLDER / name).write_text(text)


if __name__ == "__main__":
    main()
