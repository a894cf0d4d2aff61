# What the server is for, as its message of the day says. Roles set it.
default['bookshop']['purpose'] = 'a server'

# Whether packages bring along those that they only recommend.
default['bookshop']['apt']['recommends'] = false

# Seconds after which the package lists are read again.
default['bookshop']['apt']['frequency'] = 86_400
