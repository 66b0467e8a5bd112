-- Hears what is notified on the channel from now on.
LISTEN {channel}
