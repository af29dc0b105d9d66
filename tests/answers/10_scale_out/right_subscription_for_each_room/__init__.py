"""Each process subscribes to the rooms of its tabs. The stream has the last id, a hash and a list have the keys."""
