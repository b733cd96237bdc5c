-- Judges tokens inside Prosody, at POST /judge: fetches the public key of the
-- kid from the repository over HTTP, and checks signature and claims. It takes
-- a case as JSON and answers "accepted", or why the token is refused.
module:set_global();
module:depends("http");

local base64 = require "util.encodings".base64;
local digest = require "openssl.digest";
local http = require "net.http";
local json = require "util.json";
local pkey = require "openssl.pkey";
local sha256 = require "util.hashes".sha256;

local function decode(part)
	local text = part:gsub("-", "+"):gsub("_", "/");
	return base64.decode(text .. ("="):rep(-#text % 4));
end

local function signed(pem, text, signature)
	local sum = digest.new("sha256");
	sum:update(text);
	local ok, good = pcall(function() return pkey.new(pem):verify(signature, sum) end);
	return ok and good;
end

local function judge(case, claims)
	local now = os.time();
	if claims.iss ~= case.issuer then return "issuer"; end
	if type(claims.aud) ~= "string" or claims.aud ~= case.audience then return "audience"; end
	if type(claims.exp) ~= "number" or now >= claims.exp then return "late"; end
	if type(claims.nbf) ~= "number" or now < claims.nbf then return "early"; end
	if type(claims.sub) ~= "string" or type(claims.room) ~= "string" then return "sub or room"; end
	if claims.room:lower() ~= case.room or "muc." .. claims.sub ~= case.muc then return "room"; end
	return "accepted";
end

module:provides("http", {
	default_path = "/judge";
	route = {
		POST = function (event)
			local response = event.response;
			local case = json.decode(event.request.body);
			local head, body, signature = case.token:match("^([%w_-]+)%.([%w_-]+)%.([%w_-]*)$");
			if not head then return "shape"; end
			local header = json.decode(decode(head));
			if header.typ ~= "JWT" or header.alg ~= "RS256" or type(header.kid) ~= "string" then return "header"; end
			http.request(case.repository .. "/" .. sha256(header.kid, true) .. ".pem", nil, function (pem, code)
				if code ~= 200 then
					response:send("key");
				elseif not signed(pem, head .. "." .. body, decode(signature)) then
					response:send("signature");
				else
					response:send(judge(case, json.decode(decode(body))));
				end
			end);
			return true;
		end;
	};
});
