"""Readers of run directories, tables and Optuna storages."""
