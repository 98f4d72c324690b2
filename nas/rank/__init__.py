"""The ranking card of an accuracy estimator: does it put trained networks in the right order?"""
