-- Who comes and goes, told to the exchange. Mount it as
-- /config/conf.d/jumpa-events.cfg.lua of the prosody container.
Component "esync.meet.jitsi" "event_sync_component"
    muc_component = "muc.meet.jitsi"
    api_prefix = "http://jumpa:8081/jitsi"
    api_headers = { ["Authorization"] = "Bearer " .. (os.getenv("JITSI_BEARER") or "") }
