-- Signs people in as Jitsi does: SASL ANONYMOUS, with the token in the address
-- of the websocket. What the token says stays with the session.
local async = require "util.async";
local formdecode = require "util.http".formdecode;
local new_id = require "util.id".medium;
local judge = module:require "judge";

local case = {
	issuer = module:get_option_string("token_issuer");
	audience = module:get_option_string("token_audience");
	repository = module:get_option_string("token_repository");
};

local provider = {};

function provider.get_sasl_handler(session)
	local handler = {};
	function handler:mechanisms() return { ANONYMOUS = true }; end
	function handler:select(mechanism) return mechanism == "ANONYMOUS"; end
	function handler:clean_clone() return provider.get_sasl_handler(session); end
	function handler:process()
		local query = formdecode(session.websocket_request.url.query or "");
		local wait, done = async.waiter();
		local verdict;
		judge(type(query) == "table" and query.token, case, function (...)
			verdict, session.token_claims = ...;
			done();
		end);
		wait();
		if verdict ~= "accepted" then return "failure", "not-authorized", verdict; end
		self.username = new_id():lower();
		return "success";
	end
	return handler;
end

module:provides("auth", provider);
