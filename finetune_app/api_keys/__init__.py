"""API keys: what each key may do, and its limits.

services.py     create a key, authenticate with it, give it a new secret, revoke it
rate_limits.py  requests and tokens a minute
"""
