-- Judges tokens inside Prosody, at POST /judge, for a login and the entry into
-- one room. It takes a case as JSON and answers "accepted", or why the token is
-- refused.
module:set_global();
module:depends("http");

local json = require "util.json";
local judge = module:require "judge";

module:provides("http", {
	default_path = "/judge";
	route = {
		POST = function (event)
			local case = json.decode(event.request.body);
			judge(case.token, case, function (verdict, claims)
				if verdict == "accepted" and (claims.room:lower() ~= case.room or "muc." .. claims.sub ~= case.muc) then
					verdict = "room";
				end
				event.response:send(verdict);
			end);
			return true;
		end;
	};
});
