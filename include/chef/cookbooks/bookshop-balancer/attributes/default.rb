# socat is how the launcher's agent asks HAProxy which configuration it has loaded.
default['bookshop']['balancer']['packages'] = %w(haproxy socat)
