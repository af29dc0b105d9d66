"""A ticket is a token that ends soon, so it opens every door that a token opens.

Refused by: test_ticket
Says: tickets and tokens are two kinds
"""
