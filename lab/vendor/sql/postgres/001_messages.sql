-- The vendor's table for messages. A message is known by its client and control id;
-- sending it again stores it once.
CREATE TABLE messages (
    client text NOT NULL,
    control_id text NOT NULL,
    received_at timestamp with time zone NOT NULL DEFAULT clock_timestamp(),
    node text NOT NULL,
    version text NOT NULL,
    body bytea NOT NULL,
    PRIMARY KEY (client, control_id)
);
