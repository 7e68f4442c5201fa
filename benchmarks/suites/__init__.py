"""The suites: each module has ``rows(context)``, in the order of the report."""
