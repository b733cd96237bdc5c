"""Judges tokens as Prosody does at the door of a room, with PyJWT.

Reads a list of cases as JSON: token, repository (address of the public keys),
issuer, audience, muc (the domain of the rooms) and room. Writes a list of
verdicts: "accepted", or why the token is refused.
"""

import hashlib
import json
import sys
import urllib.error
import urllib.request

import jwt


NAMES = {
    jwt.InvalidIssuerError: "issuer",
    jwt.InvalidAudienceError: "audience",
    jwt.InvalidSignatureError: "signature",
    jwt.ExpiredSignatureError: "late",
    jwt.ImmatureSignatureError: "early",
}


def judge(case):
    header = jwt.get_unverified_header(case["token"])
    if header.get("typ") != "JWT":
        return "header"
    if header.get("alg") != "RS256" or not header.get("kid"):
        return "header"
    name = hashlib.sha256(header["kid"].encode()).hexdigest()
    try:
        with urllib.request.urlopen(f"{case['repository']}/{name}.pem", timeout=10) as answer:
            key = answer.read()
    except urllib.error.HTTPError:
        return "key"
    claims = jwt.decode(
        case["token"], key, algorithms=["RS256"], audience=case["audience"], issuer=case["issuer"],
        options={"require": ["exp", "nbf", "iss", "aud", "sub", "room"]}, leeway=0,
    )
    if not isinstance(claims["aud"], str):
        return "audience"
    if claims["room"].lower() != case["room"] or "muc." + claims["sub"] != case["muc"]:
        return "room"
    return "accepted"


def verdict(case):
    try:
        return judge(case)
    except jwt.PyJWTError as e:
        return NAMES.get(type(e), type(e).__name__)


json.dump([verdict(case) for case in json.load(sys.stdin)], sys.stdout)
