"""The rooms come to the endpoints through Depends, and the name is checked by hand in a class."""
