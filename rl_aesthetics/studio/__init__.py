"""The studio, `rl-aesthetics studio`: web pages to watch episodes, datasets, evaluations and trainings.

`app.py` puts it together; `gate.py` stands before every request; `views` has a router for each view; the other
files know nothing of HTTP. It gets its jurors injected and so needs no juror service.
"""
