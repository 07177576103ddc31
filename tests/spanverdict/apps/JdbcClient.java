import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.sql.Timestamp;
import java.util.Timer;
import java.util.TimerTask;

/** Reads a store as programs on PostgreSQL's JDBC driver do. Arguments: port, password. */
public class JdbcClient {
    public static void main(String[] arguments) throws Exception {
        String url = "jdbc:postgresql://127.0.0.1:" + arguments[0] + "/spanverdict";
        try (Connection connection = DriverManager.getConnection(url, "anyone", arguments[1])) {
            describe(connection);
            ask(connection);
        }
    }

    private static void describe(Connection connection) throws SQLException {
        DatabaseMetaData told = connection.getMetaData();
        System.out.println(told.getDatabaseProductName() + " " + told.getDatabaseProductVersion() + " " + connection.getSchema());
        System.out.println("schemas" + joined(told.getSchemas(), "TABLE_SCHEM", null, ""));
        String[] kinds = {"TABLE", "VIEW"};
        System.out.println("tables" + joined(told.getTables(null, "main", "%", kinds), "TABLE_NAME", "TABLE_TYPE", "(promotions|llm_calls)"));
        System.out.println("columns" + joined(told.getColumns(null, "main", "promotions", "%"), "COLUMN_NAME", "TYPE_NAME", "(name|stratify_by)"));
        System.out.println("keys " + count(told.getPrimaryKeys(null, "main", "spans")) + " " + count(told.getImportedKeys(null, "main", "spans"))
            + " " + count(told.getExportedKeys(null, "main", "spans")) + " " + count(told.getIndexInfo(null, "main", "spans", false, false)));
        count(told.getTypeInfo());
        count(told.getFunctions(null, null, "%"));
        count(told.getTablePrivileges(null, "main", "spans"));
        told.getSQLKeywords();
    }

    private static void ask(Connection connection) throws SQLException {
        PreparedStatement prepared = connection.prepareStatement("SELECT name, started_at, 'x' || ? FROM promotions WHERE started_at < ?");
        String row = "";
        // From the fifth time on the driver keeps the statement on the server and takes answers in binary.
        for (int number = 0; number < 8; number++) {
            prepared.setInt(1, number);
            prepared.setTimestamp(2, Timestamp.valueOf("2026-12-01 00:00:00"));
            ResultSet rows = prepared.executeQuery();
            rows.next();
            row = rows.getString(1) + " " + rows.getTimestamp(2) + " " + rows.getString(3);
        }
        System.out.println(row);
        connection.setAutoCommit(false);
        Statement inParts = connection.createStatement();
        inParts.setFetchSize(1000);
        System.out.println("fetched " + count(inParts.executeQuery("SELECT range FROM range(50000)")));
        connection.commit();
        Statement endless = connection.createStatement();
        new Timer(true).schedule(new TimerTask() {
            @Override
            public void run() {
                try {
                    endless.cancel();
                } catch (SQLException error) {
                    throw new IllegalStateException(error);
                }
            }
        }, 300);
        try {
            endless.executeQuery("SELECT count(*) FROM range(100000000000)");
        } catch (SQLException error) {
            System.out.println("cancelled " + error.getSQLState());
        }
        connection.rollback();
    }

    private static int count(ResultSet rows) throws SQLException {
        int number = 0;
        while (rows.next()) {
            number++;
        }
        return number;
    }

    private static String joined(ResultSet rows, String name, String kind, String wanted) throws SQLException {
        StringBuilder text = new StringBuilder();
        while (rows.next()) {
            if (wanted.isEmpty() || rows.getString(name).matches(wanted)) {
                text.append(" ").append(rows.getString(name)).append(kind == null ? "" : "=" + rows.getString(kind));
            }
        }
        return text.toString();
    }
}
