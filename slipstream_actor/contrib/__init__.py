"""The library beside others: one module each, which nothing else imports."""
