package node['bookshop']['application']['packages']
