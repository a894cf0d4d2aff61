# Neither haproxy.cfg nor the process is touched here: startProxy makes the one and starts the other, and a Chef run
# in between must not take a node out of service.
package node['bookshop']['balancer']['packages']
