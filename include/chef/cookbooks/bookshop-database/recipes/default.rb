package node['bookshop']['database']['package']

# The package starts an instance of its own. The service db runs another one, with its own data and my.cnf: the
# package's would stand in its way, today and after the next boot.
service 'mariadb' do
  # Without systemd, Chef would otherwise take any process of that name for it, the service's one too.
  supports status: true
  action [:stop, :disable]
end

# For people on the server: the command line reaches the bookshop's database.
template '/etc/mysql/conf.d/bookshop.cnf' do
  source 'client.cnf.erb'
  owner 'root'
  group 'root'
  mode '0644'
  variables(socket: node['bookshop']['database']['socket'])
end
