"""What a chat is: pure rules and values, with no time, chance, network, disk or logging of their own."""
