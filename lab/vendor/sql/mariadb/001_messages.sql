-- The vendor's table for messages. A message is known by its client and control id;
-- sending it again stores it once.
CREATE TABLE messages (
    client varchar(64) NOT NULL,
    control_id varchar(199) NOT NULL,
    received_at datetime(6) NOT NULL DEFAULT current_timestamp(6),
    node varchar(64) NOT NULL,
    version varchar(64) NOT NULL,
    body longblob NOT NULL,
    PRIMARY KEY (client, control_id)
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
