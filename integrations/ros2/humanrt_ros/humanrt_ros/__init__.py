"""ROS 2 node around humanrt. `session` makes its messages without ROS; `node` publishes them."""
