"""API keys: who may call the API, what each key may do, and how much.

services.py     create a key, authenticate with it, give it a new secret, revoke it
rate_limits.py  requests and tokens a minute
"""
