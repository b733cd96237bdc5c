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


def judge(case):
    header = jwt.get_unverified_header(case["token"])
    if header.get("typ") != "JWT":
        return "invalid typ"
    if header.get("alg") != "RS256" or not header.get("kid"):
        return "invalid alg, or no kid"
    name = hashlib.sha256(header["kid"].encode()).hexdigest()
    try:
        with urllib.request.urlopen(f"{case['repository']}/{name}.pem", timeout=10) as answer:
            key = answer.read()
    except urllib.error.HTTPError as e:
        return f"no public key: {e.code}"
    claims = jwt.decode(
        case["token"], key, algorithms=["RS256"], audience=case["audience"], issuer=case["issuer"],
        options={"require": ["exp", "nbf", "iss", "aud", "sub", "room"]}, leeway=0,
    )
    if not isinstance(claims["aud"], str):
        return "aud is a list"
    if claims["room"].lower() != case["room"] or "muc." + claims["sub"] != case["muc"]:
        return "room and token mismatched"
    return "accepted"


def verdict(case):
    try:
        return judge(case)
    except jwt.PyJWTError as e:
        return type(e).__name__


json.dump([verdict(case) for case in json.load(sys.stdin)], sys.stdout)
