"""The ranking card of an accuracy estimator: does it rank trained networks correctly?"""
