"""What a launch would do now: the steps' own decisions, walked through without doing anything.

`rehearsal.rehearse` is the way in. It asks the cloud and the servers, and changes nothing on either.
"""
