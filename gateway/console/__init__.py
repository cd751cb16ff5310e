"""The pages of operators: ``pages.install`` puts them into the application. The command line needs only its people."""
