"""Readers of run directories, table files and Optuna storages."""
