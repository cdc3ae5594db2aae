"""The lab's vendor: its application, the archives it ships, and its database's SQL."""
