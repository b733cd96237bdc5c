-- judge(token, case, done) checks a token as far as a login goes: the public key
-- of its kid is fetched from the repository of the case over HTTP. done gets
-- "accepted", or why it is refused, and the claims.
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

local function verdict(case, claims)
	local now = os.time();
	if claims.iss ~= case.issuer then return "issuer"; end
	if type(claims.aud) ~= "string" or claims.aud ~= case.audience then return "audience"; end
	if type(claims.exp) ~= "number" or now >= claims.exp then return "late"; end
	if type(claims.nbf) ~= "number" or now < claims.nbf then return "early"; end
	if type(claims.sub) ~= "string" or type(claims.room) ~= "string" then return "sub or room"; end
	return "accepted";
end

return function (token, case, done)
	local head, body, signature = (token or ""):match("^([%w_-]+)%.([%w_-]+)%.([%w_-]*)$");
	if not head then return done("shape"); end
	local header = json.decode(decode(head));
	if header.typ ~= "JWT" or header.alg ~= "RS256" or type(header.kid) ~= "string" then return done("header"); end
	http.request(case.repository .. "/" .. sha256(header.kid, true) .. ".pem", nil, function (pem, code)
		if code ~= 200 then return done("key"); end
		if not signed(pem, head .. "." .. body, decode(signature)) then return done("signature"); end
		local claims = json.decode(decode(body));
		done(verdict(case, claims), claims);
	end);
end
