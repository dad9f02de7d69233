"""What is kept on disk: results of jobs, finished work, the journal of runs."""
