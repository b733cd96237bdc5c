-- Lets people into the room that their token names, as owner when it says that
-- they are moderators, and as member when not: also who opens the room.
local jid_split = require "util.jid".split;
local st = require "util.stanza";

local function refuse(event)
	local claims = event.origin.token_claims;
	local node, host = jid_split(event.room.jid);
	if claims and claims.room:lower() == node and "muc." .. claims.sub == host then return; end
	event.origin.send(st.error_reply(event.stanza, "cancel", "not-allowed", "Room and token mismatched"));
	return true;
end

module:hook("muc-occupant-pre-join", refuse, 10);
module:hook("muc-occupant-pre-join", function (event) -- also of the first, whom Prosody has made the owner
	local room, occupant, user = event.room, event.occupant, event.origin.token_claims.context.user;
	room:set_affiliation(true, occupant.bare_jid, user.moderator == true and "owner" or "member");
	occupant.role = room:get_default_role(room:get_affiliation(occupant.bare_jid));
end, 9);
