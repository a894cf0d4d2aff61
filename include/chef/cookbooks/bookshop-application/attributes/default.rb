# The service app runs on Debian's Python with Debian's database driver, and nothing else.
default['bookshop']['application']['packages'] = %w(python3 python3-pymysql)
