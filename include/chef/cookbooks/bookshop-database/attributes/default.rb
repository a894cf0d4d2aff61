default['bookshop']['database']['package'] = 'mariadb-server'

# The instance that the service db runs, where `mariadb` finds it without being told.
default['bookshop']['database']['socket'] = '/mnt/services/a1001/run/mariadb.sock'
