"""OpenAI's fine-tuning API: /v1/files and /v1/fine_tuning/jobs.

services.py       stores files; turns a job request into a goal, a dataset version and a training
training_file.py  reads the examples of an uploaded file
job_request.py    validates requests for a job
responses.py      files, jobs, events and checkpoints in OpenAI's format
lookup.py         finds a team's file or job by its public id
"""
