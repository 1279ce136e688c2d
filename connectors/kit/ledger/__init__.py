"""An edge and the hub's log: whose keys count, what it witnesses, whether the orders it knows of are in it."""
