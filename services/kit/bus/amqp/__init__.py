"""The transport over RabbitMQ: the publisher beside the relay, the queues of consumers, and their streams."""
