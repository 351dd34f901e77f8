"""Deployments: a candidate answers requests under a name.

services.py         go live, start and end a canary, roll back, pause
aliases.py          other names under which a deployment answers
signals.py          keeps what is live from being deleted
canary.py           assigns conversations to the canary
adapter_check.py    refuses to deploy an adapter that changes nothing
adapter_archive.py  a trained adapter as a zip file
code_snippets.py    curl, Python and JavaScript for one request
release_history.py  what changed from one release to the next
"""
