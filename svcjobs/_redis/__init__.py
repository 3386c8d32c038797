"""The Redis protocol of the engine: Lua scripts, their calls, and the link that sends them."""
