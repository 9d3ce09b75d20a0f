"""The Lightning side: data modules, the classifier, callbacks, loggers and fit."""
